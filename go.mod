module github.com/seed-5df914be/userdata

go 1.26

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/google/go-cmp v0.7.0
	github.com/vmihailenco/msgpack/v5 v5.4.1
	go.etcd.io/bbolt v1.5.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.45.0
	pgregory.net/rapid v1.3.0
	rsc.io/ordered v1.1.1
)

require github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
