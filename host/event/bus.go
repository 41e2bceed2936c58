package event

import "sync"

const (
	// backlog is how many values may wait for one subscriber.
	backlog = 1024
	// included is how many more may wait of those that its filter has accepted.
	included = 256
)

// Bus hands what is published to those who subscribed, in this process. Its
// zero value is ready.
type Bus[T any] struct {
	mu     sync.RWMutex
	subs   map[*Subscription[T]]struct{}
	closed bool
}

// Subscription is what one subscriber gets.
type Subscription[T any] struct {
	bus    *Bus[T]
	queue  chan T // what was published
	values chan T // what of it is included
	gone   chan struct{}
	leave  sync.Once
	once   sync.Once
	lagged bool // written before queue is closed
}

// Subscribe returns a subscription to what is published from now on and include
// accepts; a nil include accepts all. include is called in a goroutine of the
// subscription's own, so one that takes long delays nobody else: the subscriber
// lags. The subscription must be closed.
func (b *Bus[T]) Subscribe(include func(T) bool) *Subscription[T] {
	s := &Subscription[T]{bus: b, queue: make(chan T, backlog), gone: make(chan struct{})}
	s.values = s.queue
	if include != nil {
		s.values = make(chan T, included)
		go s.filter(include)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		s.end(false)
		return s
	}
	if b.subs == nil {
		b.subs = make(map[*Subscription[T]]struct{})
	}
	b.subs[s] = struct{}{}
	return s
}

// C returns the channel of values. It is closed when the subscription ends: by
// Close, with the bus, or because the subscriber lagged.
func (s *Subscription[T]) C() <-chan T { return s.values }

// Lagged reports, once C is closed, whether that is because more values than its
// backlog holds were waiting.
func (s *Subscription[T]) Lagged() bool { return s.lagged }

// filter passes on what is included until the queue ends or the subscriber is gone.
func (s *Subscription[T]) filter(include func(T) bool) {
	defer close(s.values)
	for v := range s.queue {
		select {
		case <-s.gone:
			return
		default:
		}
		if !include(v) {
			continue
		}
		select {
		case s.values <- v:
		case <-s.gone:
			return
		}
	}
}

// Close ends the subscription. It is safe to call twice.
func (s *Subscription[T]) Close() {
	s.leave.Do(func() { close(s.gone) })
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	delete(s.bus.subs, s)
	s.end(false)
}

// end closes the queue; the bus's lock is held, so no publisher is sending.
func (s *Subscription[T]) end(lagged bool) {
	s.once.Do(func() {
		s.lagged = lagged
		close(s.queue)
	})
}

// Publish hands the values to every subscriber, in order, and never waits for
// one: a subscriber whose backlog is full is cut off.
func (b *Bus[T]) Publish(values ...T) {
	if !b.Subscribed() || len(values) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		if !s.offer(values) {
			delete(b.subs, s)
			s.end(true)
		}
	}
}

func (s *Subscription[T]) offer(values []T) bool {
	for _, v := range values {
		select {
		case s.queue <- v:
		default:
			return false
		}
	}
	return true
}

// Subscribed reports whether there is any subscriber.
func (b *Bus[T]) Subscribed() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.subs) > 0
}

// Close ends all subscriptions, and those to come at once.
func (b *Bus[T]) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for s := range b.subs {
		s.end(false)
	}
	clear(b.subs)
}
