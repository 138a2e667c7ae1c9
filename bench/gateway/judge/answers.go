package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// What every answer of the engine costs. The prompt is the same for all, so sums are easy to check.
const (
	promptTokens = 211
	cachedTokens = 192
	answerTokens = 32
)

// behaviour is what a model's name asks for: `mock` answers at once, `mock-10ms` waits that long before each event,
// `mock-10ms-2000t` goes on for so many tokens.
type behaviour struct {
	gapMs  int
	tokens int
}

// behaviourOf reads the name. The last `"model":` of a body counts, as in JSON; a prompt can't contain one, since its quotes
// are escaped.
func behaviourOf(body []byte) behaviour {
	b := behaviour{tokens: answerTokens}
	key := []byte(`"model":`)
	at := bytes.LastIndex(body, key)
	if at < 0 {
		return b
	}
	rest := bytes.TrimLeft(body[at+len(key):], ` "`)
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return b
	}
	for _, part := range strings.Split(string(rest[:end]), "-") {
		if n, err := strconv.Atoi(strings.TrimSuffix(part, "ms")); err == nil && strings.HasSuffix(part, "ms") {
			b.gapMs = n
		} else if n, err := strconv.Atoi(strings.TrimSuffix(part, "t")); err == nil && strings.HasSuffix(part, "t") {
			b.tokens = n
		}
	}
	return b
}

// flagged tells whether a body sets a boolean, with or without a blank after the colon.
func flagged(body []byte, name string) bool {
	return bytes.Contains(body, []byte(`"`+name+`":true`)) || bytes.Contains(body, []byte(`"`+name+`": true`))
}

func usageJSON(completion int) string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`,
		promptTokens, completion, promptTokens+completion, cachedTokens)
}

// wholeAnswer is a complete JSON answer of about 1 KB, head included.
func wholeAnswer() []byte {
	return jsonAnswer(`{"id":"chatcmpl-judge","object":"chat.completion","created":1764000000,"model":"mock","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"` + strings.Repeat("words of an answer ", 30) + `","refusal":null,"tool_calls":[]},` +
		`"logprobs":null,"finish_reason":"stop"}],"usage":` + usageJSON(answerTokens) + `,"service_tier":null,"system_fingerprint":null}`)
}

func jsonAnswer(body string) []byte {
	return []byte("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

const streamHead = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"

func chunk(text string) string {
	return strconv.FormatInt(int64(len(text)), 16) + "\r\n" + text + "\r\n"
}

func event(rest string) string {
	return chunk(`data: {"id":"chatcmpl-judge","object":"chat.completion.chunk","created":1764000000,"model":"mock",` + rest + "}\n\n")
}

func choice(delta, finish string) string {
	return event(`"choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}]`)
}

// The events of a stream in order: one that names the role, one a token, one that says why it ended.
func streamEvents(tokens int) [][]byte {
	events := [][]byte{[]byte(choice(`{"role":"assistant","content":""}`, "null"))}
	for i := 0; i < tokens; i++ {
		events = append(events, []byte(choice(`{"content":" token`+strconv.Itoa(i)+`"}`, "null")))
	}
	return append(events, []byte(choice(`{}`, `"stop"`)))
}

// streamTail is the usage frame, where it was asked for, and the end.
func streamTail(tokens int, withUsage bool) []byte {
	end := chunk("data: [DONE]\n\n") + "0\r\n\r\n"
	if !withUsage {
		return []byte(end)
	}
	return []byte(event(`"choices":[],"usage":`+usageJSON(tokens)) + end)
}
