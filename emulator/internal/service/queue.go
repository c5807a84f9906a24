package service

// A queue has the tasks of a job that could run now, in the order in which their turn comes. Those of one need of slots are in
// one line: when the first of a line does not fit anywhere, none of it does.
type queue struct {
	lines []*line
	next  int64 // the turn of the task that comes last
	first int64 // the turn of the task that goes first
}

type line struct {
	slots int32 // 0: multi-instance and exclusive tasks, which need more than slots
	tasks []*task
	head  int
}

func (q *queue) line(t *task) *line {
	slots := t.Slots
	if t.special != nil && (t.special.instances > 0 || t.special.exclusive) {
		slots = 0
	}
	for _, l := range q.lines {
		if l.slots == slots {
			return l
		}
	}
	l := &line{slots: slots}
	q.lines = append(q.lines, l)
	return l
}

// add puts a task at the end.
func (q *queue) add(t *task) {
	q.next++
	t.queued, t.queuedAt = true, q.next
	l := q.line(t)
	l.tasks = append(l.tasks, t)
}

// addFirst puts a task at the front: it had its turn before.
func (q *queue) addFirst(t *task) {
	q.first--
	t.queued, t.queuedAt = true, q.first
	l := q.line(t)
	if l.head > 0 {
		l.head--
		l.tasks[l.head] = t
		return
	}
	room := make([]*task, len(l.tasks)/2+8, len(l.tasks)*3/2+9)
	l.tasks = append(room, l.tasks...)
	l.head = len(room) - 1
	l.tasks[l.head] = t
}

// peek is the first task of a line, nil when it is empty. A task that was taken out of the queue is still in its line, and is
// left out here; when it is queued again before that, it keeps its first place.
func (l *line) peek() *task {
	for l.head < len(l.tasks) {
		if t := l.tasks[l.head]; t.queued {
			return t
		}
		l.pop()
	}
	l.tasks, l.head = nil, 0
	return nil
}

// pop takes out the first.
func (l *line) pop() {
	l.tasks[l.head].queued = false
	l.tasks[l.head] = nil
	l.head++
	if l.head > 1024 && l.head > len(l.tasks)/2 {
		l.tasks = append([]*task(nil), l.tasks[l.head:]...)
		l.head = 0
	}
}
