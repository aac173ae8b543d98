;; Describes itself in bytes that are no text.
;; group: describe
;; refused: bad_description
;; says: utf-8
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1040) "\28\23\00\00\06\00\00\00")
    (data (i32.const 9000) "\ff\fe\80abc"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
