;; Logs control characters, an end of text, and what turns the direction of writing around.
;; group: words
(component
  (;memory;)
  (;log;)
  (core module $m
    (import "lines" "log" (func $log (param i32 i32 i32)))
    (import "memory" "memory" (memory 1))
    (data (i32.const 9000) "\1b[2J\1b]0;owned\07\00\08\08\r\e2\80\aeabc")
    (func (export "run") (param i32 i32) (result i32)
      (call $log (i32.const 3) (i32.const 9000) (i32.const 24)) (i32.const 2048)))
  (core instance $i (instantiate $m (with "lines" (instance $lines)) (with "memory" (instance $memory))))
  (;skill;))
