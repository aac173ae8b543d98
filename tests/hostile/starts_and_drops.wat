;; Starts calls without end, and lets go of each at once.
;; group: calls
;; fails: trap
;; says: without end
(component
  (;memory;)
  (;types;)
  (;clock;)
  (core module $m
    (import "calls" "sleep" (func $sleep (param i64 i32 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "calls" "drop" (func $drop (param i32)))
    (func (export "run") (param i32 i32) (result i32)
      (loop $again
        (call $drop (call $sleep (i64.const 1000000000)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (br $again))
      unreachable))
  (core instance $i (instantiate $m (with "calls" (instance $calls))))
  (;skill;))
