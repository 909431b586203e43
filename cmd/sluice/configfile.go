package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// readConfigFile sets the flags that a YAML file names and the command line does not. Its keys are flags without the
// dashes; a list stands for comma-separated values, a map for key=value pairs.
func readConfigFile(path string, flags *pflag.FlagSet) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		return fmt.Errorf("--config: %s: %w", path, err)
	}
	for name, value := range values {
		flag := flags.Lookup(name)
		switch {
		case flag == nil || name == "config" || name == "help":
			return fmt.Errorf("--config: %s has %q, and there is no such flag; sluice controller --help lists them", path, name)
		case flag.Changed:
			continue
		}
		text, err := flagText(value)
		if err != nil {
			return fmt.Errorf("--config: %s: %s %w", path, name, err)
		}
		if err := flags.Set(name, text); err != nil {
			return fmt.Errorf("--config: %s: %w", path, err)
		}
	}
	return nil
}

// flagText is a value as it would stand on the command line.
func flagText(value any) (string, error) {
	var parts []string
	switch v := value.(type) {
	case nil:
		return "", fmt.Errorf("has no value: remove it for the default")
	case []any:
		for _, element := range v {
			parts = append(parts, fmt.Sprint(element))
		}
	case map[string]any:
		for key, element := range v {
			parts = append(parts, fmt.Sprintf("%s=%v", key, element))
		}
		slices.Sort(parts)
	case float64:
		return strings.TrimSuffix(fmt.Sprintf("%f", v), ".000000"), nil
	default:
		return fmt.Sprint(v), nil
	}
	return strings.Join(parts, ","), nil
}
