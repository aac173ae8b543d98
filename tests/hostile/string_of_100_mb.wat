;; Logs one line of a hundred megabytes.
;; group: words
;; fails: trap
;; says: limits.call_mib
(component
  (;memory;)
  (;log;)
  (core module $m
    (import "lines" "log" (func $log (param i32 i32 i32)))
    (import "memory" "memory" (memory 1))
    (func (export "run") (param i32 i32) (result i32)
      (drop (memory.grow (i32.const 1700)))
      (call $log (i32.const 1) (i32.const 4096) (i32.const 104857600)) unreachable))
  (core instance $i (instantiate $m (with "lines" (instance $lines)) (with "memory" (instance $memory))))
  (;skill;))
