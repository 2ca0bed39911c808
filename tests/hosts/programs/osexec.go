// osexec.go - Go's os/exec, a goroutine a child, with cgo in the program: libc
// is there, and with it what was preloaded. See ../README.md.
package main

/*
#include "../host.h"

extern int toldStranger(pid_t pid, int status);

static void listen(void) {
    if (xlhost_on_stranger)
        xlhost_on_stranger(toldStranger);
}

static int passes(void) {
    return host_mode() >= 0;
}
*/
import "C"

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

var childs = os.Getenv("XLHOST_CHILD")

func write(name, words string) {
	file, err := os.OpenFile(os.Getenv(name),
		os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0666)
	if err != nil {
		panic(err)
	}
	file.WriteString(words)
	file.Close()
}

// Called by the shim, on a thread that Go did not make: the program keeps its
// children in a table of its own when it is told of them.
var strangers sync.Map

//export toldStranger
func toldStranger(pid C.pid_t, status C.int) C.int {
	strangers.Store(int(pid), syscall.WaitStatus(status))
	return 0
}

func main() {
	C.listen()
	exec.Command(childs, "exit", "0").Run()
	write("XLHOST_GO", "go\n")
	var all sync.WaitGroup
	for i := 0; i < 50; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			command := exec.Command(childs, "sleep-ms", fmt.Sprint(i%16),
				"exit", fmt.Sprint(101+i))
			err := command.Run()
			if command.ProcessState != nil {
				write("XLHOST_RESULT",
					fmt.Sprintf("%d %d\n", i, command.ProcessState.ExitCode()))
				return
			}
			if command.Process != nil {
				told, ok := strangers.Load(command.Process.Pid)
				// It was reaped: if by us, the word is on its way.
				for i := 0; C.passes() != 0 && !ok && i < 5000; i++ {
					time.Sleep(time.Millisecond)
					told, ok = strangers.Load(command.Process.Pid)
				}
				if ok {
					write("XLHOST_RESULT", fmt.Sprintf("%d %d\n", i,
						told.(syscall.WaitStatus).ExitStatus()))
					return
				}
			}
			write("XLHOST_RESULT", fmt.Sprintf("%d lost %v\n", i, err))
		}(i)
	}
	all.Wait()
	write("XLHOST_GO", "done\n")
	end, _ := os.Open(os.Getenv("XLHOST_END"))
	end.Read(make([]byte, 4))
}
