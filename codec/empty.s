// An assembly file lets the compiler accept functions without a body (compiled.go).
