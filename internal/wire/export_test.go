package wire

var (
	ErrTruncated   = errTruncated
	ErrTrailing    = errTrailing
	ErrReserved    = errReserved
	ErrExtension   = errExtension
	ErrNotShortest = errNotShortest
	ErrNaN         = errNaN
	ErrUTF8        = errUTF8
	ErrTime        = errTime
	ErrKeyOrder    = errKeyOrder
	ErrTooDeep     = errTooDeep
	ErrNotMap      = errNotMap
	ErrNotString   = errNotString
)
