;; Lets go of a call that it never started.
;; group: calls
;; fails: trap
(component
  (;memory;)
  (;types;)
  (;clock;)
  (core module $m
    (import "calls" "drop" (func $drop (param i32)))
    (func (export "run") (param i32 i32) (result i32) (call $drop (i32.const 12345)) unreachable))
  (core instance $i (instantiate $m (with "calls" (instance $calls))))
  (;skill;))
