package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"strconv"
	"time"
)

// Nothing that is measured here takes this long: past it an answer counts as lost.
const answerDeadline = 60 * time.Second

var errLeft = errors.New("left on purpose")

// client is one connection that asks one question after the other.
type client struct {
	addr    string
	request []byte
	stream  bool
	// Events of a complete stream, end marker included.
	eventsMin int
	// leaveMax above 0: goes away after a random number of events between the two.
	leaveMin, leaveMax int

	connection net.Conn
	reader     *bufio.Reader
	body       []byte
	// The last bytes of a stream, where its usage and end marker are.
	tail   []byte
	events int
	leave  int
	// Times of the running exchange.
	began, firstEvent, lastEvent time.Time
	keepTimes                    bool
	seen                         tally
}

const tailBytes = 2048

// ask sends the question and reads the answer; the times are counted from `began`.
func (c *client) ask(began time.Time, keepTimes bool) {
	c.began, c.keepTimes = began, keepTimes
	c.body, c.tail, c.events = c.body[:0], c.tail[:0], 0
	if c.leaveMax > 0 {
		c.leave = c.leaveMin + rand.Intn(c.leaveMax-c.leaveMin+1)
	}
	err := c.exchange()
	switch {
	case errors.Is(err, errLeft):
		c.seen.Left++
		c.seen.LeftEvents += int64(c.events)
		c.hangUp()
	case err != nil:
		c.seen.fail(err.Error())
		c.hangUp()
		time.Sleep(5 * time.Millisecond) // a target that refuses must not be asked in a tight loop
	default:
		c.answered()
	}
}

func (c *client) answered() {
	c.seen.Answers++
	if !c.keepTimes {
		return
	}
	c.seen.latency = append(c.seen.latency, millis(time.Since(c.began)))
	if c.stream {
		c.seen.ttft = append(c.seen.ttft, millis(c.firstEvent.Sub(c.began)))
	}
}

func (c *client) hangUp() {
	if c.connection != nil {
		c.connection.Close()
		c.connection = nil
	}
}

func (c *client) exchange() error {
	if c.connection == nil {
		connection, err := net.DialTimeout("tcp", c.addr, 5*time.Second)
		if err != nil {
			return err
		}
		c.connection, c.reader = connection, bufio.NewReaderSize(connection, 16<<10)
	}
	if err := c.connection.SetDeadline(time.Now().Add(answerDeadline)); err != nil {
		return err
	}
	if _, err := c.connection.Write(c.request); err != nil {
		return errors.New("could not write the request")
	}
	head, err := c.readHead()
	if err != nil {
		return err
	}
	if head.chunked {
		err = c.readChunks()
	} else {
		err = c.readWhole(head.length)
	}
	if err != nil {
		return err
	}
	if head.closes {
		c.hangUp()
	}
	return c.check(head)
}

type answerHead struct {
	status  int
	length  int
	chunked bool
	closes  bool
}

func (c *client) readHead() (answerHead, error) {
	head := answerHead{length: -1}
	line, err := c.reader.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return head, errors.New("closed before the answer")
	}
	if head.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return head, errors.New("bad status line")
	}
	for {
		line, err = c.reader.ReadSlice('\n')
		if err != nil {
			return head, errors.New("head cut")
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			head.length, err = strconv.Atoi(string(value))
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			head.chunked = true
		case bytes.EqualFold(name, []byte("connection")):
			head.closes = bytes.EqualFold(value, []byte("close"))
		}
		if err != nil {
			return head, errors.New("bad content-length")
		}
	}
	if !head.chunked && head.length < 0 {
		return head, errors.New("an answer without framing")
	}
	return head, nil
}

func (c *client) readWhole(length int) error {
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.reader, c.body); err != nil {
		return errors.New("body cut")
	}
	return nil
}

func (c *client) readChunks() error {
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return errors.New("body cut")
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return errors.New("bad chunk size")
		}
		if err := c.readChunk(int(size)); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

// readChunk takes what is there as it comes, without waiting for the whole chunk, and then the line end after it.
func (c *client) readChunk(left int) error {
	for left > 0 {
		if _, err := c.reader.Peek(1); err != nil {
			return errors.New("body cut")
		}
		there, _ := c.reader.Peek(min(left, c.reader.Buffered()))
		if err := c.take(there); err != nil {
			return err
		}
		left -= len(there)
		if _, err := c.reader.Discard(len(there)); err != nil {
			return err
		}
	}
	end, err := c.reader.Peek(2)
	if err != nil || end[0] != '\r' || end[1] != '\n' {
		return errors.New("bad chunk end")
	}
	_, err = c.reader.Discard(2)
	return err
}

func (c *client) take(piece []byte) error {
	if !c.stream {
		c.body = append(c.body, piece...)
		return nil
	}
	if count := bytes.Count(piece, []byte("data: ")); count > 0 {
		now := time.Now()
		if c.events == 0 {
			c.firstEvent = now
		} else if c.keepTimes {
			c.seen.gap = append(c.seen.gap, millis(now.Sub(c.lastEvent)))
		}
		c.lastEvent = now
		c.events += count
	}
	if c.leaveMax > 0 && c.events >= c.leave {
		return errLeft
	}
	c.tail = append(c.tail, piece...)
	if surplus := len(c.tail) - tailBytes; surplus > tailBytes {
		c.tail = append(c.tail[:0], c.tail[surplus:]...)
	}
	return nil
}

// check keeps a fast wrong answer from counting as a good one.
func (c *client) check(head answerHead) error {
	switch {
	case head.status != 200:
		return fmt.Errorf("status %d", head.status)
	case !c.stream && !bytes.Contains(c.body, []byte(`"choices"`)):
		return errors.New("an answer without choices")
	case c.stream && c.events < c.eventsMin:
		return fmt.Errorf("only %d events", c.events)
	case c.stream && !bytes.Contains(c.tail, []byte("data: [DONE]")):
		return errors.New("a stream without its end marker")
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
