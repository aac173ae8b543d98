;; Asks for a hundred thousand things, each of them nothing.
;; group: describe
;; refused: bad_description
;; says: at most
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1064) "\00\00\10\00\a0\86\01\00")
    (func (export "describe") (result i32)
      (drop (memory.grow (i32.const 90)))

      (i32.const 1024)))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
