module slipway/bench/gateway/judge

go 1.22
