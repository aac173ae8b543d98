;; Ends the process, as it thinks, when it is asked what it is.
;; group: describe
;; refused: bad_description
;; says: it exited with code 1
(component
  (;memory;)
  (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
  (core func $exit-core (canon lower (func $exit "exit")))
  (core instance $process (export "exit" (func $exit-core)))
  (core module $m
    (import "process" "exit" (func $exit (param i32)))
    (func (export "describe") (result i32) (call $exit (i32.const 1)) unreachable))
  (core instance $i (instantiate $m (with "process" (instance $process))))
  (;skill;))
