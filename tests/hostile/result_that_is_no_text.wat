;; Returns bytes that are no text.
;; group: words
;; fails: trap
;; says: utf-8
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 2052) "\28\23\00\00\06\00\00\00")
    (data (i32.const 9000) "\ff\fe\80abc")
    (func (export "run") (param i32 i32) (result i32) (i32.const 2048)))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
