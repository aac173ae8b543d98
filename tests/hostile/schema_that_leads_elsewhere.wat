;; Has an input schema that is a file of the user.
;; group: describe
;; refused: bad_description
;; says: schema
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1048) "\28\23\00\00\1d\00\00\00")
    (data (i32.const 9000) "{\22$ref\22:\22file:///etc/passwd\22}"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
