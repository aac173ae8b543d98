;; Starts calls without end, and keeps them open.
;; group: calls
;; fails: trap
;; says: calls are open
;; says: limits.open_calls
(component
  (;memory;)
  (;types;)
  (;clock;)
  (core module $m
    (import "calls" "sleep" (func $sleep (param i64 i32 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (func (export "run") (param i32 i32) (result i32)
      (loop $again
        (drop (call $sleep (i64.const 1000000000)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (br $again))
      unreachable))
  (core instance $i (instantiate $m (with "calls" (instance $calls))))
  (;skill;))
