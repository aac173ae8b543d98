;; Describes itself in twenty megabytes.
;; group: describe
;; refused: bad_description
;; says: at most
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1040) "\00\00\10\00\00\00\40\01")
    (func (export "describe") (result i32)
      (drop (memory.grow (i32.const 400)))
      (memory.fill (i32.const 1048576) (i32.const 120) (i32.const 20971520))
      (i32.const 1024)))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
