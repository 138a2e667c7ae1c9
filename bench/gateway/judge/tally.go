package main

import (
	"math"
	"slices"
	"time"
)

// tally is what one client saw.
type tally struct {
	// Complete and right answers, warm-up included: what CPU time is divided by.
	Answers int64
	// Streams left on purpose, and the events seen of them.
	Left, LeftEvents int64
	Errors           int64
	kinds            map[string]int64

	// Milliseconds, of the measured time only.
	latency, ttft, gap []float64
}

func (t *tally) fail(kind string) {
	t.Errors++
	if t.kinds == nil {
		t.kinds = map[string]int64{}
	}
	t.kinds[kind]++
}

type percentiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

func percentilesOf(values []float64) percentiles {
	if len(values) == 0 {
		return percentiles{}
	}
	slices.Sort(values)
	at := func(share float64) float64 { return values[int(math.Round(share*float64(len(values)-1)))] }
	return percentiles{Count: len(values), P50: at(0.5), P99: at(0.99)}
}

type loadSummary struct {
	Answers    int64            `json:"answers"`
	Left       int64            `json:"left"`
	LeftEvents int64            `json:"leftEvents"`
	Errors     int64            `json:"errors"`
	Kinds      map[string]int64 `json:"kinds"`
	// Answers that were asked for in the measured time, a second of it.
	PerSecond float64     `json:"perSecond"`
	LatencyMs percentiles `json:"latencyMs"`
	TtftMs    percentiles `json:"ttftMs"`
	GapMs     percentiles `json:"gapMs"`
}

func summary(clients []*client, f loadFlags, took time.Duration) loadSummary {
	s := loadSummary{Kinds: map[string]int64{}}
	var latency, ttft, gap []float64
	for _, one := range clients {
		t := &one.seen
		s.Answers += t.Answers
		s.Left += t.Left
		s.LeftEvents += t.LeftEvents
		s.Errors += t.Errors
		for kind, count := range t.kinds {
			s.Kinds[kind] += count
		}
		latency, ttft, gap = append(latency, t.latency...), append(ttft, t.ttft...), append(gap, t.gap...)
	}
	s.PerSecond = float64(len(latency)) / (took - f.warm).Seconds()
	s.LatencyMs, s.TtftMs, s.GapMs = percentilesOf(latency), percentilesOf(ttft), percentilesOf(gap)
	return s
}
