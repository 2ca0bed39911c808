# reaper.pl - the idiom of perlipc: $SIG{CHLD} and waitpid(-1, WNOHANG).
# See ../README.md.
use strict;
use warnings;
use POSIX ":sys_wait_h";

my %status;
$SIG{CHLD} = sub {
    local ($!, $?);
    while ((my $pid = waitpid(-1, WNOHANG)) > 0) {
        $status{$pid} = $?;
    }
};

sub inform {
    open(my $go, ">", $ENV{XLHOST_GO}) or die "go: $!";
    syswrite($go, "$_[0]\n");
    close($go);
}

open(my $result, ">>", $ENV{XLHOST_RESULT}) or die "result: $!";
inform("go");
my @pids;
for my $i (0 .. 49) {
    my $pid = fork() // die "fork: $!";
    if (!$pid) {
        exec($ENV{XLHOST_CHILD}, "sleep-ms", $i % 16, "exit", 101 + $i);
        POSIX::_exit(99);
    }
    push @pids, $pid;
}
for my $i (0 .. 49) {
    # A signal ends the wait; one that came just before costs 20 ms.
    while (!defined $status{$pids[$i]}) {
        select(undef, undef, undef, 0.02);
    }
    syswrite($result, "$i " . ($status{$pids[$i]} >> 8) . "\n");
}
inform("done");
open(my $end, "<", $ENV{XLHOST_END}) or die "end: $!";
my $word;
until (defined(sysread($end, $word, 4))) { }
