package keys

import (
	"testing"
	"time"

	"gatehouse/storage"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Made every 10 hours, an hour ahead, kept for two.
var table = Timetable{RotateEvery: 10 * time.Hour, PublishLead: time.Hour, KeepAfter: 2 * time.Hour}

// generations are keys that sign from these hours after noon.
func generations(signFrom ...float64) []*storage.SigningKey {
	var all []*storage.SigningKey
	for i, h := range signFrom {
		all = append(all, &storage.SigningKey{Generation: int64(i + 1), SignAt: noon.Add(time.Duration(h * float64(time.Hour)))})
	}
	return all
}

func TestTheTimetable(t *testing.T) {
	retired := generations(0, 10)
	retired[0].RetiredAt = noon.Add(11 * time.Hour)
	for _, c := range []struct {
		sentence string
		rows     []*storage.SigningKey
		at       float64 // hours after noon
		states   []State
		due      bool
		signAt   float64
	}{
		{"the very first signs at once, by clocks that are behind too", nil, 0, nil, true, -5.0 / 3600},
		{"alone, it signs", generations(0), 5, []State{Active}, false, 0},
		{"an hour before its end the next is made, to sign from then", generations(0), 9, []State{Active}, true, 10},
		{"a moment earlier it is not", generations(0), 8.99, []State{Active}, false, 0},
		{"overdue, the next is published for its hour all the same", generations(0), 30, []State{Active}, true, 31},
		{"published before its time, the next waits", generations(0, 10), 9.5, []State{Active, Next}, false, 0},
		{"from its time it signs, and the one before is kept", generations(0, 10), 10, []State{Retiring, Active}, false, 0},
		{"kept until its last token is over", generations(0, 10), 11.99, []State{Retiring, Active}, false, 0},
		{"and then it is gone", generations(0, 10), 12, []State{Gone, Active}, false, 0},
		{"retired, it is gone at once", retired, 11, []State{Gone, Active}, false, 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			now := noon.Add(time.Duration(c.at * float64(time.Hour)))
			placed := table.place(c.rows, now)
			for i, want := range c.states {
				if placed[i].State != want {
					t.Errorf("generation %d is %s, want %s", i+1, placed[i].State, want)
				}
			}
			signAt, due := table.due(placed, now)
			if due != c.due || due && !signAt.Equal(noon.Add(time.Duration(c.signAt*float64(time.Hour)))) {
				t.Errorf("due %v from %v, want %v from %v h", due, signAt.Sub(noon), c.due, c.signAt)
			}
		})
	}
}

func TestR23_AtEveryMomentOneKeySignsAndWasPublishedLongEnough(t *testing.T) {
	var rows []*storage.SigningKey
	published := make(map[int64]time.Time)
	for step := range 1000 {
		now := noon.Add(time.Duration(step) * 7 * time.Minute)
		placed := table.place(rows, now)
		if signAt, due := table.due(placed, now); due {
			key := &storage.SigningKey{Generation: int64(len(rows) + 1), CreatedAt: now, SignAt: signAt}
			rows = append(rows, key)
			published[key.Generation] = now
			placed = table.place(rows, now)
		}
		active := 0
		for _, p := range placed {
			if p.State != Active {
				continue
			}
			active++
			if p.Key.Generation > 1 && now.Sub(published[p.Key.Generation]) < table.PublishLead {
				t.Fatalf("after %v generation %d signs, published %v ago", now.Sub(noon), p.Key.Generation, now.Sub(published[p.Key.Generation]))
			}
		}
		if active != 1 {
			t.Fatalf("after %v %d keys sign", now.Sub(noon), active)
		}
	}
	if len(rows) < 10 {
		t.Errorf("only %d generations", len(rows))
	}
}
