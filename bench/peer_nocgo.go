//go:build !cgo

package main

// These peers are in no build without cgo.
var (
	mattnPeer = &peer{name: "mattn", title: "mattn/go-sqlite3", absent: needsCgo}
	gormPeer  = &peer{name: "gorm", title: "GORM on mattn/go-sqlite3", absent: needsCgo}
)
