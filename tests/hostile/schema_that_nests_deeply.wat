;; Has an input schema that nests a hundred thousand times.
;; group: describe
;; refused: bad_description
;; says: input schema
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1048) "\00\00\10\00\40\0d\03\00")
    (func (export "describe") (result i32)
      (drop (memory.grow (i32.const 20)))
      (memory.fill (i32.const 1048576) (i32.const 91) (i32.const 100000))
      (memory.fill (i32.const 1148576) (i32.const 93) (i32.const 100000))
      (i32.const 1024)))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
