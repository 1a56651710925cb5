package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parse returns the value of a setting, or an error that says what is allowed.
func (s *Setting) parse(text string) (reflect.Value, error) {
	switch s.kind {
	case reflect.TypeFor[string]():
		if len(s.OneOf) > 0 && !slices.Contains(s.OneOf, text) {
			return reflect.Value{}, fmt.Errorf("allowed: %s", strings.Join(s.OneOf, ", "))
		}
		return reflect.ValueOf(text), nil
	case reflect.TypeFor[Secret]():
		if text == "" {
			return reflect.Value{}, errors.New("it is empty")
		}
		return reflect.ValueOf(Secret{text}), nil
	case reflect.TypeFor[bool]():
		if text != "true" && text != "false" {
			return reflect.Value{}, errors.New("allowed: true, false")
		}
		return reflect.ValueOf(text == "true"), nil
	case reflect.TypeFor[int]():
		return s.parseInt(text)
	case reflect.TypeFor[time.Duration]():
		return s.parseDuration(text)
	case reflect.TypeFor[[]string]():
		return reflect.ValueOf(list(text)), nil
	case reflect.TypeFor[[]netip.Prefix]():
		return parsePrefixes(text)
	}
	panic("config: a setting of type " + s.kind.String())
}

func (s *Setting) parseInt(text string) (reflect.Value, error) {
	n, err := strconv.Atoi(text)
	least, _ := strconv.Atoi(s.Min)
	most, _ := strconv.Atoi(s.Max)
	if err != nil || n < least || n > most {
		return reflect.Value{}, fmt.Errorf("allowed: a whole number from %d to %d", least, most)
	}
	return reflect.ValueOf(n), nil
}

func (s *Setting) parseDuration(text string) (reflect.Value, error) {
	d, err := ParseDuration(text)
	least, _ := ParseDuration(s.Min)
	most, _ := ParseDuration(s.Max)
	if err != nil || d < least || d > most {
		return reflect.Value{}, fmt.Errorf("allowed: a time from %s to %s, such as 90s, 10m, 8h or 30d", s.Min, s.Max)
	}
	return reflect.ValueOf(d), nil
}

// ParseDuration is time.ParseDuration with days: 30d, or 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no time", text)
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 {
		return 0, fmt.Errorf("%q is no time", text)
	}
	return d + more, nil
}

// FormatDuration writes what ParseDuration reads, as short as it goes.
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parsePrefixes reads networks. What they are named for is trust, which nobody
// means to give to all addresses there are.
func parsePrefixes(text string) (reflect.Value, error) {
	var all []netip.Prefix
	for _, word := range list(text) {
		p, err := netip.ParsePrefix(word)
		if a, aerr := netip.ParseAddr(word); aerr == nil {
			p, err = a.Prefix(a.BitLen())
		}
		switch {
		case err != nil:
			return reflect.Value{}, fmt.Errorf("%q is no network; allowed: CIDRs such as 10.0.0.0/8 or 2001:db8::/32, comma separated", word)
		case p.Bits() == 0:
			return reflect.Value{}, fmt.Errorf("%s is every address there is; name the networks that are meant, and no others", word)
		}
		all = append(all, p.Masked())
	}
	return reflect.ValueOf(all), nil
}

// list takes words apart at commas.
func list(text string) []string {
	var all []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}

// format is the value as the file could have it.
func format(v reflect.Value) string {
	switch v := v.Interface().(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case time.Duration:
		return FormatDuration(v)
	case Secret:
		return v.String()
	case []string:
		return strings.Join(v, ", ")
	case []netip.Prefix:
		words := make([]string, len(v))
		for i, p := range v {
			words[i] = p.String()
		}
		return strings.Join(words, ", ")
	}
	panic("config: a setting of type " + v.Type().String())
}
