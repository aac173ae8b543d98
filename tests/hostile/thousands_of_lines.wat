;; Logs fifty thousand lines, of which not all are kept, and is done.
;; group: calls
(component
  (;memory;)
  (;log;)
  (core module $m
    (import "lines" "log" (func $log (param i32 i32 i32)))
    (func (export "run") (param i32 i32) (result i32) (local $n i32)
      (loop $again
        (call $log (i32.const 1) (i32.const 4096) (i32.const 8))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $n) (i32.const 50000))))
      (i32.const 2048)))
  (core instance $i (instantiate $m (with "lines" (instance $lines))))
  (;skill;))
