//go:build race

package env

// operatorBinary is built with the race detector where the tests are.
const operatorBinary = "iter8-operator-race"
