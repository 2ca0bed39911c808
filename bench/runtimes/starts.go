// starts.go - children by Go's os.StartProcess, a goroutine each
//
// Called by bench/run.py; see README.md for the options.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var child string

// die says what failed and ends with the status of a failed peer.
func die(what error) {
	fmt.Fprintln(os.Stderr, "starts.go:", what)
	os.Exit(2)
}

// number is the value of an option.
func number(options map[string]string, name string, otherwise int) int {
	text, given := options[name]
	if !given {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		die(err)
	}
	return value
}

// one starts a child and waits for it.
func one() {
	files := &os.ProcAttr{Files: []*os.File{os.Stdin, nil, os.Stderr}}
	process, err := os.StartProcess(child, []string{child}, files)
	if err != nil {
		die(err)
	}
	state, err := process.Wait()
	if err != nil {
		die(err)
	}
	if !state.Success() {
		die(fmt.Errorf("a child ended with %v", state))
	}
}

// run starts at most so many children, until the time is over; how many.
func run(children int, concurrency int, until time.Time) int {
	var started atomic.Int64
	var reaped atomic.Int64
	var all sync.WaitGroup
	for i := 0; i < concurrency; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for started.Add(1) <= int64(children) &&
				(until.IsZero() || time.Now().Before(until)) {
				one()
				reaped.Add(1)
			}
		}()
	}
	all.Wait()
	return int(reaped.Load())
}

// processor is the time of this process's threads, in µs.
func processor() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		die(err)
	}
	return float64(usage.Utime.Sec+usage.Stime.Sec)*1e6 +
		float64(usage.Utime.Usec+usage.Stime.Usec)
}

func main() {
	options := map[string]string{}
	for i := 1; i+1 < len(os.Args); i += 2 {
		options[os.Args[i]] = os.Args[i+1]
	}
	child = options["--child"]
	children := number(options, "--children", 1000)
	concurrency := number(options, "--concurrency", 16)
	limit := number(options, "--for-ms", 0)
	run(number(options, "--warmup", 50), concurrency, time.Time{})
	before := processor()
	start := time.Now()
	until := time.Time{}
	if limit > 0 {
		until = start.Add(time.Duration(limit) * time.Millisecond)
	}
	reaped := run(children, concurrency, until)
	wall := float64(time.Since(start).Nanoseconds()) / 1e3
	fmt.Printf("{\"peer\": \"go\", \"version\": \"%s\", \"reaped\": %d, "+
		"\"us_per_child\": %.6g, \"cpu_us\": %.6g}\n", runtime.Version()[2:],
		reaped, wall/float64(reaped), (processor()-before)/float64(reaped))
}
