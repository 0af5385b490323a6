package main

import "io"

// Run is the program.
var Run = run

// PrintIdle prints what became of idle connections, by what they heard of the end, and of the server's goroutines.
func PrintIdle(w io.Writer, told, unclear, lost, alone, running, left int) {
	printIdle(w, &idleConnections{n: told + unclear + lost, told: told, unclear: unclear, lost: lost, alone: alone, running: running, left: left})
}

// PrintPipelined prints a pipelined comparison of these ratios.
func PrintPipelined(w io.Writer, ratios []float64) {
	printPackets(w, nil, []*pipelined{{echoRates: ratios, rates: ratios, ratios: ratios, frames: 1}})
}
