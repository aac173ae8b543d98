;; Fails with control characters in its code and its message.
;; group: words
;; fails: [2J]0;x
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 2048) "\01\00\00\00" "\28\23\00\00\0a\00\00\00" "\28\23\00\00\0a\00\00\00" "\00\00\00\00")
    (data (i32.const 9000) "\1b[2J\1b]0;x\07")
    (func (export "run") (param i32 i32) (result i32) (i32.const 2048)))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
