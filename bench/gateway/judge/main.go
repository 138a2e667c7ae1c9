// Judge measures gateways that speak OpenAI's chat completions.
//
//	judge engine   plays the replicas: an engine that is never the bottleneck and counts what it served
//	judge load     plays the clients: asks, checks every answer, and tells the times
//
// Both speak HTTP/1.1 on bare connections, so that on one shared core most of it is left for who is judged.
package main

import (
	"fmt"
	"os"
)

func main() {
	verbs := map[string]func([]string) error{"engine": runEngine, "load": runLoad}
	var run func([]string) error
	if len(os.Args) > 1 {
		run = verbs[os.Args[1]]
	}
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: judge engine|load [flags]")
		os.Exit(2)
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}
