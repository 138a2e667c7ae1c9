package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// counts is what the engine knows of its work: the truth that a gateway's metering is held against.
type counts struct {
	// Answers that were written to their end, and their completion tokens.
	Finished       atomic.Int64
	FinishedTokens atomic.Int64
	// Streams that were cut before, and the tokens written until then.
	Cut       atomic.Int64
	CutTokens atomic.Int64
	// Answers under way.
	Active atomic.Int64
}

type engine struct {
	counts counts
	whole  []byte
	// Prebuilt streams, by tokens.
	mu      sync.Mutex
	streams map[int]*stream
}

type stream struct {
	events [][]byte
	tail   map[bool][]byte
	// Head, events and tail in one piece, for answers without gaps.
	atOnce map[bool][]byte
}

func runEngine(args []string) error {
	flags := flag.NewFlagSet("engine", flag.ExitOnError)
	replicas := flags.Int("replicas", 4, "ports to listen on: one a replica")
	if err := flags.Parse(args); err != nil {
		return err
	}
	e := &engine{whole: wholeAnswer(), streams: map[int]*stream{}}
	ports := []int{}
	for i := 0; i < *replicas; i++ {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
		go e.accept(listener)
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"ports": ports}); err != nil {
		return err
	}
	// Lives as long as who started it: its end closes our standard input.
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func (e *engine) accept(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go e.serve(connection)
	}
}

func (e *engine) serve(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 64<<10)
	var body []byte
	for {
		path, length, err := readRequestHead(reader)
		if err != nil {
			return
		}
		if cap(body) < length {
			body = make([]byte, length)
		}
		body = body[:length]
		if _, err := io.ReadFull(reader, body); err != nil {
			return
		}
		if err := e.answer(connection, path, body); err != nil {
			return
		}
	}
}

// readRequestHead gives the path and the length of the body. Chunked requests are refused: no gateway here sends them.
func readRequestHead(reader *bufio.Reader) (path string, length int, err error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return "", 0, err
	}
	words := bytes.SplitN(line, []byte(" "), 3)
	if len(words) < 3 {
		return "", 0, errors.New("bad request line")
	}
	path = string(words[1])
	for {
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return "", 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return path, length, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", 0, err
			}
		case len(name) == 17 && bytes.EqualFold(name, []byte("transfer-encoding")):
			return "", 0, errors.New("chunked request")
		}
	}
}

func (e *engine) answer(connection net.Conn, path string, body []byte) error {
	switch {
	case strings.HasSuffix(path, "/completions"):
		return e.complete(connection, body)
	case strings.HasSuffix(path, "/tokenize"):
		_, err := connection.Write(jsonAnswer(fmt.Sprintf(`{"count":%d,"max_model_len":32768,"tokens":[]}`, promptTokens)))
		return err
	case strings.HasSuffix(path, "/counts"):
		_, err := connection.Write(jsonAnswer(e.countsJSON()))
		return err
	default:
		_, err := connection.Write(jsonAnswer(`{"status":"ok"}`))
		return err
	}
}

func (e *engine) complete(connection net.Conn, body []byte) error {
	e.counts.Active.Add(1)
	defer e.counts.Active.Add(-1)
	wanted := behaviourOf(body)
	if !flagged(body, "stream") {
		time.Sleep(time.Duration(wanted.gapMs) * time.Millisecond)
		_, err := connection.Write(e.whole)
		e.count(answerTokens, 0, err)
		return err
	}
	s := e.stream(wanted.tokens)
	withUsage := flagged(body, "include_usage")
	if wanted.gapMs == 0 {
		_, err := connection.Write(s.atOnce[withUsage])
		e.count(wanted.tokens, 0, err)
		return err
	}
	written, err := s.write(connection, time.Duration(wanted.gapMs)*time.Millisecond, withUsage)
	e.count(wanted.tokens, written, err)
	return err
}

func (e *engine) count(tokens, written int, err error) {
	if err == nil {
		e.counts.Finished.Add(1)
		e.counts.FinishedTokens.Add(int64(tokens))
	} else {
		e.counts.Cut.Add(1)
		e.counts.CutTokens.Add(int64(written))
	}
}

// write sends the events on their beats and gives how many tokens went out.
func (s *stream) write(connection net.Conn, gap time.Duration, withUsage bool) (int, error) {
	if _, err := connection.Write([]byte(streamHead)); err != nil {
		return 0, err
	}
	due := time.Now()
	for i, one := range s.events {
		due = due.Add(gap)
		time.Sleep(time.Until(due))
		if _, err := connection.Write(one); err != nil {
			return max(0, i-1), err // the first event names the role and is no token
		}
	}
	_, err := connection.Write(s.tail[withUsage])
	return len(s.events) - 2, err
}

func (e *engine) stream(tokens int) *stream {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.streams[tokens]
	if s == nil {
		s = &stream{events: streamEvents(tokens), tail: map[bool][]byte{}, atOnce: map[bool][]byte{}}
		for _, withUsage := range []bool{false, true} {
			s.tail[withUsage] = streamTail(tokens, withUsage)
			s.atOnce[withUsage] = append([]byte(streamHead), append(bytes.Join(s.events, nil), s.tail[withUsage]...)...)
		}
		e.streams[tokens] = s
	}
	return s
}

func (e *engine) countsJSON() string {
	c := &e.counts
	return fmt.Sprintf(`{"finished":%d,"finishedTokens":%d,"cut":%d,"cutTokens":%d,"active":%d}`,
		c.Finished.Load(), c.FinishedTokens.Load(), c.Cut.Load(), c.CutTokens.Load(), c.Active.Load())
}
