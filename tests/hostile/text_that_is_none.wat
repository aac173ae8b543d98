;; Logs bytes that are no text.
;; group: words
;; fails: trap
;; says: utf-8
(component
  (;memory;)
  (;log;)
  (core module $m
    (import "lines" "log" (func $log (param i32 i32 i32)))
    (import "memory" "memory" (memory 1))
    (data (i32.const 9000) "\ff\fe\80abc")
    (func (export "run") (param i32 i32) (result i32)
      (call $log (i32.const 1) (i32.const 9000) (i32.const 6)) unreachable))
  (core instance $i (instantiate $m (with "lines" (instance $lines)) (with "memory" (instance $memory))))
  (;skill;))
