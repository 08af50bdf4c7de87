#!/bin/sh
# Posts each file NUMBER-KIND of a folder with a program of its own: live_shell.sh curl|wget URL FOLDER.
# Waits for a line; prints NUMBER KIND STATUS a line, STATUS what curl says or 200 where wget was content.
read -r _
for file in "$3"/*; do
	name=${file##*/}
	if [ "$1" = curl ]; then
		status=$(curl -sk -m 10 -o /dev/null -w '%{http_code}' -H "x-number: ${name%-*}" -H 'content-type: application/json' \
			--data-binary "@$file" "$2/v1/chat/completions")
	else
		wget -q -O /dev/null --no-check-certificate --tries=1 --timeout=10 --header "x-number: ${name%-*}" \
			--header 'content-type: application/json' --post-file "$file" "$2/v1/chat/completions"
		status=$?
		[ $status = 0 ] && status=200
	fi
	echo "${name%-*} ${name#*-} $status"
done
