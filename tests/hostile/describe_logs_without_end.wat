;; Logs for ever when it is asked what it is.
;; group: describe
;; refused: bad_description
;; says: limits.describe_seconds
(component
  (;memory;)
  (;log;)
  (core module $m
    (import "lines" "log" (func $log (param i32 i32 i32)))
    (func (export "describe") (result i32)
      (loop $again (call $log (i32.const 1) (i32.const 4096) (i32.const 8)) (br $again)) unreachable))
  (core instance $i (instantiate $m (with "lines" (instance $lines))))
  (;skill;))
