package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"sync"
	"time"
)

// Clients begin spread over this, so that streams do not march in step.
const spread = 300 * time.Millisecond

type loadFlags struct {
	addr, path, key, model string
	clients                int
	warm, measured         time.Duration
	stream, usage          bool
	leaveMin, leaveMax     int
	promptBytes            int
	rounds                 int
}

func parseLoadFlags(args []string) (loadFlags, error) {
	var f loadFlags
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	flags.StringVar(&f.addr, "addr", "", "host:port of the target")
	flags.StringVar(&f.path, "path", "/v1/chat/completions", "path to ask")
	flags.StringVar(&f.key, "key", "", "bearer key")
	flags.StringVar(&f.model, "model", "mock", "model to ask; its name is also the engine's behaviour")
	flags.IntVar(&f.clients, "clients", 64, "connections, each with one question under way")
	flags.DurationVar(&f.warm, "warm", 500*time.Millisecond, "time before the measured time")
	flags.DurationVar(&f.measured, "measured", 2*time.Second, "measured time")
	flags.BoolVar(&f.stream, "stream", false, "ask for streams")
	flags.BoolVar(&f.usage, "usage", true, "ask for the usage frame of streams")
	flags.IntVar(&f.leaveMax, "leave", 0, "leave each stream after a random number of events up to this")
	flags.IntVar(&f.leaveMin, "leave-min", 1, "but not before so many")
	flags.IntVar(&f.promptBytes, "prompt", 800, "bytes of the prompt")
	flags.IntVar(&f.rounds, "rounds", 0, "questions a client; 0: as many as the time allows")
	err := flags.Parse(args)
	return f, err
}

func runLoad(args []string) error {
	f, err := parseLoadFlags(args)
	if err != nil {
		return err
	}
	clients := make([]*client, f.clients)
	for i := range clients {
		if clients[i], err = newClient(f, i); err != nil {
			return err
		}
	}
	start := time.Now()
	var wait sync.WaitGroup
	for _, one := range clients {
		wait.Add(1)
		go func() {
			defer wait.Done()
			time.Sleep(time.Duration(rand.Int63n(int64(spread))))
			askOn(one, f, start)
		}()
	}
	wait.Wait()
	return json.NewEncoder(os.Stdout).Encode(summary(clients, f, time.Since(start)))
}

func askOn(one *client, f loadFlags, start time.Time) {
	defer one.hangUp()
	measureFrom := start.Add(f.warm)
	end := measureFrom.Add(f.measured)
	for asked := 0; f.rounds == 0 || asked < f.rounds; asked++ {
		now := time.Now()
		if f.rounds == 0 && now.After(end) {
			return
		}
		one.ask(now, now.After(measureFrom))
	}
}

// newClient prepares the question once. Prompts begin alike and then differ by client, as those of one application do.
func newClient(f loadFlags, number int) (*client, error) {
	question := map[string]any{
		"model":       f.model,
		"max_tokens":  32,
		"temperature": 0.7,
		"messages": []map[string]string{
			{"role": "system", "content": "You are a helpful assistant."},
			{"role": "user", "content": fmt.Sprintf("Question %d. ", number) +
				strings.Repeat("The quick brown fox jumps over the lazy dog. ", f.promptBytes/45)},
		},
	}
	if f.stream {
		question["stream"] = true
		if f.usage {
			question["stream_options"] = map[string]bool{"include_usage": true}
		}
	}
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\ncontent-type: application/json\r\n"+
		"accept: */*\r\nuser-agent: judge\r\ncontent-length: %d\r\n\r\n", f.path, f.addr, f.key, len(body))
	eventsMin := behaviourOf(body).tokens + 3 // role, tokens, reason of the end, end marker
	if f.usage {
		eventsMin++
	}
	return &client{addr: f.addr, request: append([]byte(head), body...), stream: f.stream, eventsMin: eventsMin, leaveMin: f.leaveMin, leaveMax: f.leaveMax}, nil
}
