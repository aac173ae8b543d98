;; Returns twenty megabytes of JSON.
;; group: words
;; fails: too-large
;; says: 8 MiB
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 2052) "\00\00\10\00\00\00\40\01")
    (func (export "run") (param i32 i32) (result i32)
      (drop (memory.grow (i32.const 400)))
      (memory.fill (i32.const 1048576) (i32.const 49) (i32.const 20971520))
      (i32.const 2048)))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
