// Package e2e holds gatehouse to its promises from outside: its tests build the
// real binary, run it as an operator would, and meet it only over HTTP, on the
// command line, and in a browser. Of the module it imports nothing but verify,
// which is what a relying service imports too, and storagetest, for databases.
package e2e
