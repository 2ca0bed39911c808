# system.pl - perl's own waiting: system(), backquotes, and waitpid of a pid.
# See ../README.md.
use strict;
use warnings;
use POSIX ();

sub inform {
    open(my $go, ">", $ENV{XLHOST_GO}) or die "go: $!";
    syswrite($go, "$_[0]\n");
    close($go);
}

open(my $result, ">>", $ENV{XLHOST_RESULT}) or die "result: $!";
sub result {
    my ($i, $got, $status, $error) = @_;
    syswrite($result, $got < 0 ? "$i lost $error\n"
                               : "$i " . ($status >> 8) . "\n");
}

my $child = $ENV{XLHOST_CHILD};
inform("go");
for (my $i = 0; $i < 50; $i += 3) {
    my $pid = fork() // die "fork: $!";
    if (!$pid) {
        exec($child, "sleep-ms", $i % 16, "exit", 101 + $i);
        POSIX::_exit(99);
    }
    if ($i + 1 < 50) {
        my $got = system($child, "exit", 102 + $i);
        result($i + 1, $got, $got, $!);
    }
    if ($i + 2 < 50) {
        my $said = `$child say hello exit @{[103 + $i]}`;
        result($i + 2, $?, $?, $!);
    }
    my $got = waitpid($pid, 0);
    result($i, $got, $?, $!);
}
inform("done");
open(my $end, "<", $ENV{XLHOST_END}) or die "end: $!";
my $word;
until (defined(sysread($end, $word, 4))) { }
