;; Has an input schema that is no JSON.
;; group: describe
;; refused: bad_description
;; says: input schema
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1048) "\28\23\00\00\08\00\00\00")
    (data (i32.const 9000) "{\22type\22:"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
