// Package bench measures what the project promises. Every benchmark prints figures and ratios of one run; none of them
// fails on a slow machine. docs/benchmarks.md has the figures seen, with dates.
package bench
