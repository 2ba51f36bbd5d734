// Renders the chart for where there is no helm: `go run main.go CHART < INPUT`. The templates are parsed and run by
// Go's own text/template, as Helm's are; the functions are the few that this chart uses, of Helm and of Sprig.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

func asFloat(value any) float64 {
	number, err := strconv.ParseFloat(fmt.Sprint(value), 64)
	if err != nil {
		log.Fatalf("no number: %v", value)
	}
	return number
}

// JSON is YAML, so that no library is needed.
func asJSON(value any) (string, error) {
	written, err := json.Marshal(value)
	return string(written), err
}

func isEmpty(value any) bool {
	truth, _ := template.IsTrue(value)
	return !truth
}

func main() {
	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var out bytes.Buffer
			err := all.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"toYaml": asJSON,
		"toJson": asJSON,
		"nindent": func(spaces int, text string) string {
			pad := "\n" + strings.Repeat(" ", spaces)
			return pad + strings.ReplaceAll(text, "\n", pad)
		},
		"quote": func(value any) string { return strconv.Quote(fmt.Sprint(value)) },
		"default": func(fallback, value any) any {
			if isEmpty(value) {
				return fallback
			}
			return value
		},
		"contains":   func(part, text string) bool { return strings.Contains(text, part) },
		"trimSuffix": func(suffix, text string) string { return strings.TrimSuffix(text, suffix) },
		"trunc": func(length int, text string) string {
			return text[:min(length, len(text))]
		},
		"sha256sum": func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) },
		"float64":   asFloat,
		"ceil":      math.Ceil,
		"int":       func(value any) int { return int(asFloat(value)) },
		"add": func(values ...any) (sum int64) {
			for _, value := range values {
				sum += int64(asFloat(value))
			}
			return sum
		},
	})
	template.Must(all.ParseGlob(filepath.Join(os.Args[1], "templates", "*")))

	var input map[string]any
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		log.Fatal(err)
	}
	for _, part := range all.Templates() {
		if filepath.Ext(part.Name()) != ".yaml" {
			continue
		}
		fmt.Println("---")
		if err := part.Execute(os.Stdout, input); err != nil {
			log.Fatal(err)
		}
	}
}
