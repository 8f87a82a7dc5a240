<%@ WebHandler Class="samples::Hello, hello" %>
