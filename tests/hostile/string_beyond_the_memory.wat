;; Logs what lies behind its memory.
;; group: words
;; fails: trap
(component
  (;memory;)
  (;log;)
  (core module $m
    (import "lines" "log" (func $log (param i32 i32 i32)))
    (func (export "run") (param i32 i32) (result i32)
      (call $log (i32.const 1) (i32.const 0x7ffffff0) (i32.const 100)) unreachable))
  (core instance $i (instantiate $m (with "lines" (instance $lines))))
  (;skill;))
