# exec.tcl - Tcl's exec, and its pipelines; the status is in errorCode.
# See ../README.md.
proc tell {word} {
    set go [open $::env(XLHOST_GO) w]
    puts $go $word
    close $go
}
proc status {code options} {
    if {$code == 0} { return 0 }
    set error [dict get $options -errorcode]
    if {[lindex $error 0] eq "CHILDSTATUS"} { return [lindex $error 2] }
    return "lost $error"
}
set result [open $env(XLHOST_RESULT) a]
fconfigure $result -buffering line
tell go
set child $env(XLHOST_CHILD)
for {set i 0} {$i < 50} {incr i 5} {
    set pipes {}
    for {set k $i} {$k < $i + 4} {incr k} {
        lappend pipes [open "|$child sleep-ms [expr {$k % 16}] exit [expr {101 + $k}]"]
    }
    set code [catch {exec $child exit [expr {105 + $i}]} message options]
    puts $result "[expr {$i + 4}] [status $code $options]"
    set k $i
    foreach pipe $pipes {
        read $pipe
        set code [catch {close $pipe} message options]
        puts $result "$k [status $code $options]"
        incr k
    }
}
tell done
set end [open $env(XLHOST_END)]
gets $end
