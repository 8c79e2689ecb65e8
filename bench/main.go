// Command bench compares this package with its peers, side by side.
package main

func main() {}
