;; Returns JSON that nests a hundred thousand times.
;; group: words
;; fails: result
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 2052) "\40\0d\03\00\40\0d\03\00")
    (func (export "run") (param i32 i32) (result i32)
      (memory.fill (i32.const 200000) (i32.const 91) (i32.const 100000))
      (memory.fill (i32.const 300000) (i32.const 93) (i32.const 100000))
      (i32.const 2048)))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
