//go:build !race

package env

const operatorBinary = "iter8-operator"
