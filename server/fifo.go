package server

import "sync"

// fifo is a queue. When it is empty, the space that it has grown goes to its pool, for the next that needs it: an idle session
// holds none. The pool must be set before anything is pushed.
type fifo[T any] struct {
	pool *sync.Pool // of *[]T
	list *[]T       // nil while it is empty
	gone int        // how many of the first are not in it any more
}

func newPool[T any]() *sync.Pool { return &sync.Pool{New: func() any { return new([]T) }} }

func (q *fifo[T]) len() int {
	if q.list == nil {
		return 0
	}
	return len(*q.list) - q.gone
}

// at is the i-th from the front, until the queue changes.
func (q *fifo[T]) at(i int) *T { return &(*q.list)[q.gone+i] }

// all are those in the queue, until it changes.
func (q *fifo[T]) all() []T {
	if q.list == nil {
		return nil
	}
	return (*q.list)[q.gone:]
}

func (q *fifo[T]) push(v T) {
	if q.list == nil {
		q.list = q.pool.Get().(*[]T)
	}
	list := *q.list
	if len(list) == cap(list) && 2*q.gone > len(list) { // rather than to grow
		n := copy(list, list[q.gone:])
		clear(list[n:])
		list, q.gone = list[:n], 0
	}
	*q.list = append(list, v)
}

// drop takes the first n out.
func (q *fifo[T]) drop(n int) {
	if n == 0 {
		return
	}
	clear((*q.list)[q.gone:][:n])
	if q.gone += n; q.gone == len(*q.list) {
		q.clear()
	}
}

// maxPooled is how much space is kept, in entries.
const maxPooled = 1024

// clear takes all out.
func (q *fifo[T]) clear() {
	if q.list != nil && cap(*q.list) <= maxPooled {
		clear(*q.list)
		*q.list = (*q.list)[:0]
		q.pool.Put(q.list)
	}
	q.list, q.gone = nil, 0
}
