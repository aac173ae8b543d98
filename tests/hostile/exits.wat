;; Ends the process, as it thinks, and says that all is well.
;; group: words
;; fails: trap
;; says: it exited with code 0 instead of returning
(component
  (;memory;)
  (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
  (core func $exit-core (canon lower (func $exit "exit")))
  (core instance $process (export "exit" (func $exit-core)))
  (core module $m
    (import "process" "exit" (func $exit (param i32)))
    (func (export "run") (param i32 i32) (result i32) (call $exit (i32.const 0)) unreachable))
  (core instance $i (instantiate $m (with "process" (instance $process))))
  (;skill;))
