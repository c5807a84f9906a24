package autoscale

import "fmt"

// Codes of errors.
const (
	CodeSyntax                 = "AutoScalingFormulaSyntaxError"     // not a formula
	CodeTooLong                = "AutoScalingFormulaTooLong"         // over MaxLength or MaxStatements
	CodeEvaluation             = "AutoScalingFormulaEvaluationError" // an unknown name, types that do not fit, a value out of range
	CodeInsufficientSampleData = "InsufficientSampleData"            // fewer samples than GetSample was told to want
)

// messages are what the service says with each code; those of the evaluation itself all begin alike.
var messages = map[string]string{
	CodeSyntax:                 "The specified auto-scaling formula has a syntax error.",
	CodeTooLong:                "The specified auto-scaling formula exceeds lengths limit.",
	CodeEvaluation:             "Autoscale evaluation failed due to evaluation errors in the formula",
	CodeInsufficientSampleData: "Autoscale evaluation failed due to insufficient sample data",
}

// Error is what is wrong with a formula, in the parts that the service's answers have.
type Error struct {
	Code    string
	Message string      // the same for all errors of a code
	Values  []NameValue // one, named Message: where and what
	Line    int         // from 1; 0 when it is about the whole formula
	Column  int         // in characters, from 1
}

// NameValue is a detail of an Error.
type NameValue struct{ Name, Value string }

func (e *Error) Error() string {
	if len(e.Values) == 0 {
		return e.Message
	}
	return e.Message + ": " + e.Values[0].Value
}

func newError(code string, at position, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	if at.line > 0 {
		detail = fmt.Sprintf("Line %d, Col %d: %s", at.line, at.column, detail)
	}
	return &Error{
		Code:    code,
		Message: messages[code],
		Values:  []NameValue{{Name: "Message", Value: detail}},
		Line:    at.line,
		Column:  at.column,
	}
}

// evalErrorf is an error of the formula's meaning.
func evalErrorf(at position, format string, args ...any) *Error {
	return newError(CodeEvaluation, at, format, args...)
}
