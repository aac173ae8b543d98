;; Has a name with control characters.
;; group: describe
;; refused: bad_description
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1024) "\28\23\00\00\08\00\00\00")
    (data (i32.const 9000) "\1b[2Jevil"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
