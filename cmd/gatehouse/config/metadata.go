package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"gatehouse/storage"
)

// errNoMetadata: no client metadata has this name.
var errNoMetadata = errors.New("is no client metadata")

// metadataFields is the type of each piece of client metadata, by its
// registered name.
var metadataFields = sync.OnceValue(func() map[string]reflect.Type {
	fields := make(map[string]reflect.Type)
	for f := range reflect.TypeFor[storage.ClientMetadata]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
	}
	return fields
})

// MetadataNames lists the names that client metadata may have, sorted.
func MetadataNames() []string {
	var names []string
	for name := range inOrder(metadataFields()) {
		names = append(names, name)
	}
	return names
}

// assign sets one piece of metadata from a value of the file.
func assign(m *storage.ClientMetadata, name string, value any) error {
	t, ok := metadataFields()[name]
	if !ok {
		return errNoMetadata
	}
	b, err := json.Marshal(map[string]any{name: value})
	if err == nil {
		err = json.Unmarshal(b, m)
	}
	if err != nil {
		return fmt.Errorf("must be %s", kindOf(t))
	}
	return nil
}

// SetMetadataList sets one list of metadata from its values as they are.
func SetMetadataList(m *storage.ClientMetadata, name string, values []string) error {
	if err := assign(m, name, values); err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	return nil
}

// SetMetadata sets one piece of metadata from text, as `--set name=value` has
// it. Lists are comma separated, or JSON, as what has a structure of its own.
// An empty text takes the value away.
func SetMetadata(m *storage.ClientMetadata, name, text string) error {
	t, ok := metadataFields()[name]
	if !ok {
		return fmt.Errorf("%s is no client metadata%s", name, meant(name, MetadataNames()))
	}
	var value any = text
	var err error
	switch {
	case text == "":
		value = nil
	case t == reflect.TypeFor[json.RawMessage](), t.Kind() == reflect.Slice && strings.HasPrefix(text, "["):
		value = json.RawMessage(text)
	case t.Kind() == reflect.Slice:
		value = list(text)
	case t.Kind() == reflect.Bool:
		value, err = strconv.ParseBool(text)
	case t.Kind() != reflect.String:
		value, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil {
		return fmt.Errorf("%s is %q; it must be %s", name, text, kindOf(t))
	}
	if value == nil {
		return clearMetadata(m, name)
	}
	if err := assign(m, name, value); err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	return nil
}

// clearMetadata takes one piece away: JSON's null would leave it as it is.
func clearMetadata(m *storage.ClientMetadata, name string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the metadata: %w", err)
	}
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("decode the metadata: %w", err)
	}
	delete(fields, name)
	if b, err = json.Marshal(fields); err != nil {
		return fmt.Errorf("encode the metadata: %w", err)
	}
	*m = storage.ClientMetadata{}
	return json.Unmarshal(b, m)
}

func kindOf(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return kindOf(t.Elem())
	case t == reflect.TypeFor[json.RawMessage]():
		return "JSON"
	case t.Kind() == reflect.Slice:
		return "a list of texts"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "a text"
	}
	return "a whole number"
}
