package store

// Kinds are all errors that callers branch on.
var Kinds = kinds
